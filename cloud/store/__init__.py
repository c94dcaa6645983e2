"""What the cloud keeps: tables in a database, pictures as blobs."""
