"""A run from request to stored answer: executor, queue, repository, events."""
