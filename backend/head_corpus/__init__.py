"""What every head of a model usually does: measured over many texts, kept in one small file."""
