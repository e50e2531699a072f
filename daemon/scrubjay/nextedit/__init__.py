"""Next edits: where, after an edit, the same is to be done once more."""
