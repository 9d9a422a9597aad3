"""Images and who is a member: data sets by name, the five-way split, images on the device."""
