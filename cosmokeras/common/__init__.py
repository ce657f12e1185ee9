"""What every package uses: errors in one line, files written whole, YAML and command lines, checked arguments."""
