"""What words tell about a review: plain lists that a shop's analyst can read and mend."""
