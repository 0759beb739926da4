"""OSC: the contract as one table, the wire, and the service that a DAW and its control surfaces talk to."""
