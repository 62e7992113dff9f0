"""What tests of AetherStream, and of pipelines built with it, are made with: builders and fakes that ship."""
