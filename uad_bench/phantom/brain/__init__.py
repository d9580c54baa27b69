"""The head without disease: its anatomy, from the template or from label maps, person by person."""
