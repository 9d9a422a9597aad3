"""Shows a run in the tracker that a team has already: MLflow, W&B or TensorBoard."""
