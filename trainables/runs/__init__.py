"""Every way to make a model: each file holds one, as a resumable sequence of epochs."""
