// Package forget removes a person's events from the archive and from the dead letters.
//
// A law may give a person the right to be forgotten (GDPR, article 17), and everything here is what
// must not be lost. So it is built to remove exactly that person's lines: an object of the archive
// is rewritten as a whole. Frames without a line of the person's, and what can't be read, keep
// their bytes; of the others the remaining lines do. Before the new object takes the place of the
// old one it is read again, and must hold each other line of the old one, in its order, and none of
// the person's. The store replaces it at once or not at all, and only if nobody has changed it
// meanwhile.
//
// What is removed is written down before it is removed. Being killed at any moment leaves each
// object either as it was or without the person; the next run goes on behind the objects that a
// checkpoint names.
//
// Events that wait in a queue can't be removed: walking a live queue would hide its messages from
// delivery. They are in the archive once they have been delivered, so that a run after that finds
// them.
package forget
