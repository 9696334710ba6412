"""Who is measured, and what runs beside them: processes, the cores they have, and the stage that they stand on."""
