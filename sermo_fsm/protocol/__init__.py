"""What came? From bytes to one valid message, or an error that says where and what was wanted."""
