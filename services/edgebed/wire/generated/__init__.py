"""Messages generated from proto/ by `make generate`; never edited by hand."""
