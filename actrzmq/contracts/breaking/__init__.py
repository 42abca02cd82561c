"""What a new version of a contract breaks, rule by rule. The rules go by the ids that buf gave them."""
