"""swimstream beside HashiCorp memberlist and kinship: same settings, same run, real processes on loopback."""
