"""Files of every kind that holds a picture, decoded to luma: one module a family of formats."""
