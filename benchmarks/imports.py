"""How much longer does `import glassnet` take than `import numpy`?

    python -m benchmarks.imports

Fresh processes take turns; the figure is the median of the differences. What is loaded besides NumPy and the standard
library is listed: it must be nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

LIST = "import glassnet, sys; print(*sorted({m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"


def seconds(statement: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    count = parser.parse_args().repeats
    seconds("import glassnet")  # write the byte code once
    pairs = [(seconds("import glassnet"), seconds("import numpy")) for _ in range(count)]
    differences = [ours - numpy for ours, numpy in pairs]
    print(f"import numpy      {statistics.median(p[1] for p in pairs):.3f} s (median of {count} fresh processes)")
    print(f"import glassnet   {statistics.median(p[0] for p in pairs):.3f} s")
    spread = f"{min(differences):.3f} .. {max(differences):.3f}"
    print(f"difference        {statistics.median(differences):.3f} s ({spread})")
    loaded = subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True).stdout
    print(f"loaded            {loaded.strip()}")


if __name__ == "__main__":
    main()
