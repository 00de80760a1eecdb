/** The worker of a build for tests (build.ts): the real one, whose engine stumbles over some packets. */
import './engine.ts';
import '../../../src/gateway/engines/worker.ts';
