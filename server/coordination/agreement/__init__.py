"""Agreement: the contract on which the work of two organizations rests."""
