"""The trainings of other frameworks in a study, a file for each; a file imports its framework, and no other does."""
