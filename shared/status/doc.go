// Package status is the model of the status site that customers read: what it knows, how it changes
// and how it is written as static files. It calls nobody and reads no clock but where a Keeper says
// so, so that every state that a customer may see can be made in a test.
//
// A document (status.json) is the only state. Each minute a writer looks at the pipelines of all
// regions and hands an Observation to Observe, a pure function that accounts for the time since the
// last one, opens and closes incidents, and begins and ends maintenance. Operators change the same
// document with Post, Update, Resolve and Schedule. A Keeper reads the document from a Store,
// changes it, writes it back only if nobody else has written meanwhile, and puts the pages that
// Render makes of it. So two writers, and an operator beside them, lose nothing of each other's.
//
// Everything in a document is public: it is served beside the page.
package status
