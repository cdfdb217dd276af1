"""The experiments of the papers behind the membership, on the real core in virtual time: SWIM 2002, Lifeguard 2018."""
