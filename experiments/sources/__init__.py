"""Where examples come from: scikit-learn's sets, tables and archives."""
