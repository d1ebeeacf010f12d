import sys

from validate_wan_model_configurations import main

sys.exit(main())
