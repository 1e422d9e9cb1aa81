"""Files: safe paths, atomic publication, locks, file versions, SQLite."""
