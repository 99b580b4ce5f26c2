"""Analytics Workbench's connector for MySQL and MariaDB."""
