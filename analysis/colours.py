"""The colours and the words that all pictures share, those of the reports and of the live page.

The colours are Okabe and Ito's, which people with any common colour blindness can distinguish.
"""

BLUE, ORANGE, VERMILLION, GREEN, PURPLE = "#0072B2", "#E69F00", "#D55E00", "#007A5A", "#A4437F"

INK, MUTED, RULE, SHADE = "#1a2230", "#5b6675", "#d9dee5", "#e6f2ec"

GAIN_LABEL = "excess gain (nats; 0 = no leak)"
"""The label of every axis that shows a leak."""
