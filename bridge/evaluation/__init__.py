"""What the model does on songs that it never saw: measures, tables and pictures."""
