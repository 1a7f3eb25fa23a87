import RingwayCLI

Ringway.main()
