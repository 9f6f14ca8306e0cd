"""Compare each built image with Node on small expressions. Node is only a yardstick for the build."""

import json
import subprocess
import sys
from pathlib import Path

import host
from wasmtime import Module

HERE = Path(__file__).parent
CASES = json.loads((HERE / "conformance.json").read_text())
WRAP = "(()=>{try{const r=(%s);return JSON.stringify(r)??String(r)}catch(e){return 'THROWS '+e.name}})()"
if __name__ == "__main__":
    node = json.loads(
        subprocess.run(
            [
                "node",
                "-e",
                "const c=JSON.parse(process.argv[1]);console.log(JSON.stringify(c.map(x=>{try{return String((0,eval)(x))}catch(e){return 'SYNTAX '+e.message}})))",
                json.dumps([WRAP % c for c in CASES]),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    for name in [a for a in sys.argv[1:] if a != "-q"]:
        e = host.engine()
        pre = host.linker(e).instantiate_pre(Module.deserialize_file(e, str(HERE / f"build/{name}.cwasm")))
        bad = []
        for c, want in zip(CASES, node):
            iso = host.Isolate(e, pre)
            try:
                got = iso.enter(9, (WRAP % c).encode()).decode("utf-8", "surrogatepass")
            except Exception as x:
                got = "DIED " + str(x).strip().splitlines()[-1]
            if got != want:
                bad.append(f"  {c}\n     guest {got[:300]}\n     node  {want[:300]}")
            iso.close()
        print(f"{name}: {len(CASES) - len(bad)} of {len(CASES)} as in Node")
        if "-q" not in sys.argv:
            print("\n".join(bad))
