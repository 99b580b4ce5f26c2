"""What connectors share; public, so that a third party's connector may use it too. Import the module you need."""
