"""Methods that lessen what quantisation costs: array functions, which know no model."""
