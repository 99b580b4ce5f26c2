"""SQLite databases as a source: the least that a connector has to be."""

from workbench.contract import Capabilities, Manifest

MANIFEST = Manifest(
    name="toy",
    label="Toy (SQLite)",
    capabilities=Capabilities(tables=True),
    implementation="workbench_toy.connector:ToyConnector",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "required": ["database"],
        "properties": {"database": {"type": "string", "description": "The database file's path"}},
    },
    schemes=("toy",),
    documentation="A SQLite file: `toy:///%2Fpath%2Fto%2Ffile.db`.",
)
