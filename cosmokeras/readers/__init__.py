"""Files of maps, masks and tables in, arrays with what their headers say out; no parameters, no physics."""
