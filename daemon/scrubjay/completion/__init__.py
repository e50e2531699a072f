"""What a completion is: asked for, ended, finished, remembered."""
