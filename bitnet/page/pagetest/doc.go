// Package pagetest drives a headless Chromium through a page of bitnet, for tests.
package pagetest
