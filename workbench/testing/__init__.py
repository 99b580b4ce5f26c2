"""The test kit for connectors, shipped so that a third party's connector is held to the same promises.

`store.Store` is what a connector's tests provide, `conformance.ConformanceSuite` is what they get. `memory` and
`hostile` are connectors for tests of everything above them; `clock`, `control` and `proxy` replace time, the executor
and the network. Nothing here is loaded by the product itself. Needs pytest.
"""
