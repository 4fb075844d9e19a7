//! What a node sees of its image pulls.
