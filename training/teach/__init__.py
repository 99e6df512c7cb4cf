"""A large model teaches a small one: footage is labelled, labels are smoothed along time, a student is trained."""
