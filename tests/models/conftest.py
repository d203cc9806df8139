import sys
from pathlib import Path

# The modules beside the tests are imported by name, which importlib mode does not provide for.
sys.path.insert(0, str(Path(__file__).parent))
