"""Rules of files: safe paths, atomic publication, locks, file versions, SQLite."""
