"""Who holds which bytes: the ledger of capacity and the allocation policies."""
