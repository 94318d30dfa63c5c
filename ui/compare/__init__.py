"""Parts of the Compare page: its sentence, and what the browser draws."""
