"""What a policy would do if attention said nothing."""
