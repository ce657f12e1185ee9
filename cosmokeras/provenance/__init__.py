"""What each result was made with: parameters, files and code in, statements that are compared out."""
