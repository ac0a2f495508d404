// Package packaging holds what the packages are made of, and their tests. `make packages` runs
// those that build and install packages; they need root.
package packaging
