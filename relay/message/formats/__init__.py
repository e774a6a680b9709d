"""What a text part or a file may be made of: html, TNEF, uuencode, flowed and enriched text, RTF."""
