"""``python -m wan_tui``."""

import sys

from wan_tui.cli.main import main

sys.exit(main())
