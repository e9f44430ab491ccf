"""Who is who: certificate authority, enrolment, API keys, console sessions."""
