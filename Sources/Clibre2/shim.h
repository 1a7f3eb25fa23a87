/* RE2 speaks C++: Sources/CRE2 includes it and gives Swift a face in C. */
